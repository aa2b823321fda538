package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.rpc.ClientTls;
import dev.guildhall.rpc.PemIdentity;
import dev.guildhall.rpc.TransportTls;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The flags by which a client of a router is sure of it, and shows who it is itself. */
public final class ClientFlags {
  @Spec(Spec.Target.MIXEE)
  private @Nullable CommandSpec spec;

  @Option(
      names = "--ca",
      paramLabel = "FILE",
      description = "CA of the router's certificate, PEM. Default: no TLS.")
  private @Nullable Path ca;

  @Option(
      names = "--cert",
      paramLabel = "FILE",
      description = "Certificate to show to the router, PEM.")
  private @Nullable Path certificate;

  @Option(names = "--key", paramLabel = "FILE", description = "Its key, PEM, PKCS#8.")
  private @Nullable Path key;

  @Option(
      names = "--token-file",
      paramLabel = "FILE",
      description = "File with the token that the router knows this caller by.")
  private @Nullable Path tokenFile;

  /**
   * The TLS to connect with.
   *
   * @throws picocli.CommandLine.ParameterException for flags that need another
   */
  public TransportTls tls() {
    CommandSpec command = requireNonNull(spec);
    Optional<PemIdentity> identity =
        PemFlags.identity(command, "--cert", certificate, "--key", key);
    PemFlags.needs(command, "--cert", identity.isPresent(), "--ca", ca != null);
    return TransportTls.of(
        Optional.empty(), Optional.ofNullable(ca).map(trusted -> new ClientTls(trusted, identity)));
  }

  /**
   * A channel whose calls bring the token, if there is one.
   *
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the token's file
   */
  public Channel withToken(Channel channel) {
    if (tokenFile == null) {
      return channel;
    }
    Metadata headers = new Metadata();
    headers.put(
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
        "Bearer " + token(tokenFile));
    return ClientInterceptors.intercept(
        channel, MetadataUtils.newAttachHeadersInterceptor(headers));
  }

  private static String token(Path file) {
    String token;
    try {
      token = Files.readString(file).strip();
    } catch (NoSuchFileException e) {
      throw new GuildhallException(ErrorCode.NOT_FOUND, "%s does not exist".formatted(file), e);
    } catch (IOException e) {
      throw GuildhallException.invalidArgument("%s cannot be read: %s".formatted(file, e));
    }
    if (token.isEmpty() || !token.chars().allMatch(c -> c > ' ' && c < 127)) {
      throw GuildhallException.invalidArgument(
          "%s has no right token; allowed is one line of ASCII letters, digits and signs, without"
                  .formatted(file)
              + " spaces");
    }
    return token;
  }
}
