package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.grpc.stub.CallStreamObserver;
import org.junit.jupiter.api.Test;

class InboundWindowTest {
  private static final int MAX_MESSAGES = 20;
  private static final int MAX_BYTES = 1000;

  private int asked;
  private final InboundWindow window = new InboundWindow(new Requests(), MAX_MESSAGES, MAX_BYTES);

  @Test
  void staysAheadOfWhatComes() {
    window.open();
    assertEquals(8, asked);
    window.arrived(0);
    assertEquals(9, asked);
  }

  @Test
  void stopsAtTheMostMessages() {
    window.open();
    for (int i = 0; i < MAX_MESSAGES; i++) {
      window.arrived(0);
    }
    assertEquals(MAX_MESSAGES, asked);
    window.answered(0, 0);
    assertEquals(MAX_MESSAGES, asked, "the answer still waits for the peer");
    window.taken(0);
    assertEquals(MAX_MESSAGES + 1, asked);
  }

  @Test
  void stopsAtTheMostBytesUntilAnswersAreTaken() {
    eightOf200Bytes();
    for (int i = 0; i < 3; i++) {
      window.answered(200, 200);
      window.taken(200);
    }
    assertEquals(8, asked, "1000 bytes are open");
    window.answered(200, 300);
    window.taken(300);
    assertEquals(9, asked, "there is room for one more of 200");
  }

  @Test
  void aFailureFreesWhatItsMessageTook() {
    eightOf200Bytes();
    for (int i = 0; i < 4; i++) {
      window.answered(200, 0);
      window.taken(0);
    }
    assertEquals(9, asked);
  }

  @Test
  void oneThatIsLargerThanTheWindowMayCome() {
    window.open();
    for (int i = 0; i < 8; i++) {
      window.arrived(i == 0 ? 5000 : 0);
    }
    assertEquals(8, asked);
    window.answered(5000, 0);
    window.taken(0);
    assertEquals(9, asked);
  }

  private void eightOf200Bytes() {
    window.open();
    for (int i = 0; i < 8; i++) {
      window.arrived(200);
    }
    assertEquals(8, asked);
  }

  private final class Requests extends CallStreamObserver<Object> {
    @Override
    public void request(int count) {
      asked += count;
    }

    @Override
    public boolean isReady() {
      return true;
    }

    @Override
    public void setOnReadyHandler(Runnable handler) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void disableAutoInboundFlowControl() {
      throw new UnsupportedOperationException();
    }

    @Override
    public void setMessageCompression(boolean enable) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void onNext(Object value) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void onError(Throwable failure) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void onCompleted() {
      throw new UnsupportedOperationException();
    }
  }
}
