package dev.guildhall.admin;

import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.LiveRepository;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Function;

/** Loads and unloads layers in all services of a process, by command. Thread-safe. */
public final class LayerChanges {
  private final List<LiveRepository<?>> repositories;

  /**
   * @param repositories of the services in this process, those of experts first
   */
  public LayerChanges(List<LiveRepository<?>> repositories) {
    this.repositories = List.copyOf(repositories);
  }

  /** As {@link LiveRepository#load}, for every service. */
  public CompletableFuture<LayerVersion> load(String layer) {
    return each(repository -> repository.load(layer));
  }

  /** As {@link LiveRepository#unload}, for every service. */
  public CompletableFuture<LayerVersion> unload(String layer) {
    return each(repository -> repository.unload(layer));
  }

  /** One after the other; the last one's answer. */
  private CompletableFuture<LayerVersion> each(
      Function<LiveRepository<?>, CompletableFuture<LayerVersion>> action) {
    CompletableFuture<LayerVersion> all = action.apply(repositories.getFirst());
    for (LiveRepository<?> next : repositories.subList(1, repositories.size())) {
      all = all.thenCompose(done -> action.apply(next));
    }
    return all;
  }

  /** What went wrong, without what a future has put around it. */
  public static Throwable cause(Throwable failure) {
    Throwable cause = failure instanceof CompletionException ? failure.getCause() : null;
    return cause == null ? failure : cause;
  }
}
