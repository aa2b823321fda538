package dev.guildhall.cli;

import dev.guildhall.proto.LoadLayerRequest;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code guildhall layers load}. */
@Command(
    name = "load",
    description = "Loads a layer at a running server, or replaces it by what its files are now.",
    mixinStandardHelpOptions = true)
final class LoadLayerCommand implements Callable<Integer> {
  @Mixin private final AdminClientFlags admin = new AdminClientFlags();

  @Parameters(paramLabel = "NAME", description = "The layer.")
  private String layer = "";

  @Override
  public Integer call() {
    LoadLayerRequest request = LoadLayerRequest.newBuilder().setLayer(layer).build();
    String digest = admin.call(stub -> stub.loadLayer(request)).getDigest();
    System.out.println("layer %s@%s is loaded".formatted(layer, digest));
    return 0;
  }
}
