package dev.guildhall.checkpoint.torch;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Writes pickles instruction by instruction, right ones and hostile ones. */
final class PickleWriter {
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

  /** A pickle of protocol 2, as torch.save writes it. */
  PickleWriter() {
    op(0x80).op(2);
  }

  /** One byte: an instruction or part of its argument. */
  PickleWriter op(int opcode) {
    bytes.write(opcode);
    return this;
  }

  PickleWriter op(char opcode) {
    return op((int) opcode);
  }

  PickleWriter raw(String latin1) {
    bytes.writeBytes(latin1.getBytes(StandardCharsets.ISO_8859_1));
    return this;
  }

  PickleWriter int32(int value) {
    bytes.writeBytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array());
    return this;
  }

  PickleWriter global(String module, String name) {
    return op('c').raw(module + "\n" + name + "\n");
  }

  PickleWriter text(String text) {
    byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
    op('X').int32(utf8.length);
    bytes.writeBytes(utf8);
    return this;
  }

  PickleWriter number(long value) {
    if (value == (int) value) {
      return op('J').int32((int) value);
    }
    op(0x8a).op(8);
    bytes.writeBytes(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array());
    return this;
  }

  PickleWriter numbers(long... values) {
    op('(');
    for (long value : values) {
      number(value);
    }
    return op('t');
  }

  PickleWriter orderedDict() {
    return global("collections", "OrderedDict").op(')').op('R');
  }

  PickleWriter storage(String type, String key, long elements) {
    return op('(')
        .text("storage")
        .global("torch", type)
        .text(key)
        .text("cpu")
        .number(elements)
        .op('t')
        .op('Q');
  }

  /** A view of a storage of {@code elements} elements. */
  PickleWriter tensor(
      String type, String key, long elements, long offset, long[] shape, long[] strides) {
    return global("torch._utils", "_rebuild_tensor_v2")
        .op('(')
        .storage(type, key, elements)
        .number(offset)
        .numbers(shape)
        .numbers(strides)
        .op(0x89)
        .orderedDict()
        .op('t')
        .op('R');
  }

  /** A vector of all the elements of a storage. */
  PickleWriter vector(String type, String key, long elements) {
    return tensor(type, key, elements, 0, new long[] {elements}, new long[] {1});
  }

  /** Begins a dict; {@link #endDict} takes what was pushed since as its keys and values. */
  PickleWriter dict() {
    return op('}').op('(');
  }

  PickleWriter endDict() {
    return op('u');
  }

  byte[] end() {
    op('.');
    return bytes.toByteArray();
  }
}
