package dev.guildhall.cli;

import dev.guildhall.proto.UnloadLayerRequest;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code guildhall layers unload}. */
@Command(
    name = "unload",
    description = "Unloads a layer at a running server.",
    mixinStandardHelpOptions = true)
final class UnloadLayerCommand implements Callable<Integer> {
  @Mixin private final AdminClientFlags admin = new AdminClientFlags();

  @Parameters(paramLabel = "NAME", description = "The layer.")
  private String layer = "";

  @Override
  public Integer call() {
    UnloadLayerRequest request = UnloadLayerRequest.newBuilder().setLayer(layer).build();
    String digest = admin.call(stub -> stub.unloadLayer(request)).getDigest();
    System.out.println("layer %s@%s is unloaded".formatted(layer, digest));
    return 0;
  }
}
