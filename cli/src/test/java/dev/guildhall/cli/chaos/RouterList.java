package dev.guildhall.cli.chaos;

import com.google.common.base.Splitter;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.StatusOr;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Resolves targets that list several addresses, which gRPC for Java has no resolver for. */
final class RouterList extends NameResolverProvider {
  private static final String SCHEME = "routers";

  static {
    NameResolverRegistry.getDefaultRegistry().register(new RouterList());
  }

  /**
   * A target for all of them.
   *
   * @param addresses each host:port
   */
  static String target(List<String> addresses) {
    return SCHEME + ":///" + String.join(",", addresses);
  }

  @Override
  protected boolean isAvailable() {
    return true;
  }

  @Override
  protected int priority() {
    return 5;
  }

  @Override
  public String getDefaultScheme() {
    return SCHEME;
  }

  @Override
  public @Nullable NameResolver newNameResolver(URI target, NameResolver.Args args) {
    if (!SCHEME.equals(target.getScheme())) {
      return null;
    }
    List<EquivalentAddressGroup> addresses =
        Splitter.on(',')
            .splitToStream(target.getPath().substring(1))
            .map(RouterList::address)
            .toList();
    return new NameResolver() {
      @Override
      public String getServiceAuthority() {
        return "routers";
      }

      @Override
      public void start(Listener2 listener) {
        listener.onResult(
            ResolutionResult.newBuilder()
                .setAddressesOrError(StatusOr.fromValue(addresses))
                .build());
      }

      @Override
      public void shutdown() {
        // There is nothing to end.
      }
    };
  }

  private static EquivalentAddressGroup address(String hostAndPort) {
    int colon = hostAndPort.lastIndexOf(':');
    return new EquivalentAddressGroup(
        new InetSocketAddress(
            hostAndPort.substring(0, colon), Integer.parseInt(hostAndPort.substring(colon + 1))));
  }
}
