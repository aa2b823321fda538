package dev.guildhall.router.api.oip;

import java.util.List;

/** What the server says of itself. */
public final class ServerInfo {
  public static final String NAME = "guildhall";
  public static final String VERSION = "0.1.0";

  /** By the names that Triton gives them. */
  public static final List<String> EXTENSIONS =
      List.of("binary_tensor_data", "model_repository", "parameters", "statistics");

  private ServerInfo() {}
}
