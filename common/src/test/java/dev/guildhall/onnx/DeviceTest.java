package dev.guildhall.onnx;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DeviceTest {
  @Test
  void readsWhatItWrites() {
    assertEquals(Device.CPU, Device.parse("cpu"));
    assertEquals(new Device.Cuda(0), Device.parse("cuda"));
    assertEquals(new Device.Cuda(1), Device.parse("cuda:1"));
    assertEquals("cpu", Device.CPU.toString());
    assertEquals("cuda:3", new Device.Cuda(3).toString());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "CPU", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:99999999999", "cpu:0"})
  void refusesOtherTextNamingIt(String text) {
    var e = assertThrows(GuildhallException.class, () -> Device.parse(text));
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    assertTrue(e.toString().contains("'" + text + "'"), e.getMessage());
  }
}
