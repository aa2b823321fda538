package dev.guildhall.cli.chaos;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;

/** A client of one or more routers; its calls are made by one thread. */
interface Caller extends AutoCloseable {
  /**
   * Waits for the answer, within the caller's own limit.
   *
   * @throws io.grpc.StatusException or {@link io.grpc.StatusRuntimeException} if there is none
   */
  ForwardResponse forward(ForwardRequest request) throws Exception;

  @Override
  void close();
}
