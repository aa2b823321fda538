package dev.guildhall.rpc;

import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.MethodDescriptor;

/** The methods that carry tensors, as the .proto defines them but with {@link TensorMessage}s. */
public final class TensorMethods {
  public static final MethodDescriptor<
          TensorMessage<ExchangeRequest>, TensorMessage<ExchangeResponse>>
      EXCHANGE =
          ExpertServiceGrpc.getExchangeMethod().toBuilder(
                  new TensorMarshaller<>(ExchangeRequest.parser()),
                  new TensorMarshaller<>(ExchangeResponse.parser()))
              .build();

  public static final MethodDescriptor<
          TensorMessage<ForwardRequest>, TensorMessage<ForwardResponse>>
      FORWARD =
          MoeLayerServiceGrpc.getForwardMethod().toBuilder(
                  new TensorMarshaller<>(ForwardRequest.parser()),
                  new TensorMarshaller<>(ForwardResponse.parser()))
              .build();

  public static final MethodDescriptor<
          TensorMessage<ForwardRequest>, TensorMessage<ForwardResponse>>
      FORWARD_STREAM =
          MoeLayerServiceGrpc.getForwardStreamMethod().toBuilder(
                  FORWARD.getRequestMarshaller(), FORWARD.getResponseMarshaller())
              .build();

  /** {@link #EXCHANGE}'s, for those who do not know gRPC. */
  public static final String EXCHANGE_NAME = EXCHANGE.getFullMethodName();

  private TensorMethods() {}
}
