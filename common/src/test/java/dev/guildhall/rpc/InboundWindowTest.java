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
    window.open();
    window.arrived(600);
    window.arrived(600);
    int before = asked;
    window.arrived(0);
    assertEquals(before, asked);
    window.answered(600, 900);
    assertEquals(before, asked);
    window.taken(900);
    assertEquals(before + 2, asked, "for the one taken and the one held back");
  }

  @Test
  void aFailureFreesWhatItsMessageTook() {
    window.open();
    window.arrived(1200);
    int before = asked;
    window.answered(1200, 0);
    window.taken(0);
    assertEquals(before + 1, asked);
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
