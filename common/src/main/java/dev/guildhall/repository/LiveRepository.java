package dev.guildhall.repository;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps the layers of a running service in step with a repository's folder: loads, replaces and
 * unloads them, when told to and, if watching, when files change. A layer whose new files are wrong
 * stays as it is.
 *
 * <p>Everything happens on one thread, a layer after the other; any thread may ask.
 */
public final class LiveRepository<L extends AutoCloseable> implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(LiveRepository.class);

  /** The service that holds the layers. */
  public interface Host<L> {
    /**
     * Which tensors of a layer it computes with, by name. Others may belong to services elsewhere.
     *
     * @throws GuildhallException if it cannot host the layer
     */
    Predicate<String> tensors(Layer layer);

    /**
     * Opens a version of a layer, beside the one that is served.
     *
     * @throws GuildhallException if its files are not right
     */
    L open(Layer layer, LayerVersion version);

    /** Serves an opened version from now on, and no more the one before it. Takes it over. */
    void serve(L opened);

    /** Serves no version of the layer any more. */
    void unload(String name);
  }

  private final Path folder;
  private final Host<L> host;
  private final ScheduledExecutorService thread =
      Executors.newSingleThreadScheduledExecutor(
          Thread.ofPlatform().daemon().name("guildhall-repository").factory());

  // Used by the thread alone.
  private final Map<String, LayerVersion> served = new TreeMap<>();

  /** Each layer's files when it was last loaded, or tried to be. */
  private final Map<String, LayerFolder> tried = new HashMap<>();

  /** Each layer's files at the last look. */
  private Map<String, LayerFolder> seen = Map.of();

  public LiveRepository(Path folder, Host<L> host) {
    this.folder = folder;
    this.host = host;
  }

  /**
   * Loads every layer; returns when they are served.
   *
   * @throws GuildhallException for a layer that is not right, or if there is none
   */
  public void loadAll() {
    CompletableFuture<Void> done =
        onThread(() -> {
          LayerRepository.open(folder).layers().forEach(layer -> loadNow(layer.name()));
          return null;
        });
    try {
      done.join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof GuildhallException known ? known : e;
    }
  }

  /**
   * Loads a layer, or replaces it by what its folder has now. Nothing happens if that is served
   * already.
   *
   * @return the version; or a {@link GuildhallException}: NOT_FOUND if the repository has no such
   *     layer, INVALID_ARGUMENT if its files are not right
   */
  public CompletableFuture<LayerVersion> load(String name) {
    return onThread(() -> loadNow(name));
  }

  /**
   * Unloads a layer; it stays so until it is loaded or its files change.
   *
   * @return the version that was served; or a {@link GuildhallException}: NOT_FOUND if none was
   */
  public CompletableFuture<LayerVersion> unload(String name) {
    return onThread(() -> unloadNow(name));
  }

  /**
   * The names of the layers that the folder has now, loaded or not.
   *
   * @return or a {@link GuildhallException}: INVALID_ARGUMENT if it cannot be read
   */
  public CompletableFuture<Set<String>> names() {
    return onThread(() -> LayerRepository.folders(folder).keySet());
  }

  /** Looks at the folder at intervals. */
  public void watch(Duration interval) {
    // Goes on until the thread ends: look catches what it meets.
    var _ =
        thread.scheduleWithFixedDelay(
            this::look, interval.toMillis(), interval.toMillis(), TimeUnit.MILLISECONDS);
  }

  private <T> CompletableFuture<T> onThread(Supplier<T> action) {
    try {
      return CompletableFuture.supplyAsync(action, thread);
    } catch (RejectedExecutionException e) {
      return CompletableFuture.failedFuture(
          new GuildhallException(ErrorCode.UNAVAILABLE, "the service is shutting down", e));
    }
  }

  private LayerVersion loadNow(String name) {
    // Before anything is read, so that whatever changes from here on is noticed.
    LayerFolder files = LayerFolder.of(LayerRepository.folder(folder, name));
    tried.put(name, files);
    Layer layer = LayerRepository.layer(folder, files.path());
    LayerVersion version = LayerVersion.of(layer, files, host.tensors(layer));
    if (version.equals(served.get(name))) {
      return version;
    }
    L opened = host.open(layer, version);
    if (!LayerFolder.of(layer.folder()).equals(files)) {
      close(opened);
      throw GuildhallException.invalidArgument(
          "layer %s: its files changed while they were read; try again".formatted(name));
    }
    host.serve(opened);
    served.put(name, version);
    log.info("layer {} is loaded", version);
    return version;
  }

  private void close(L opened) {
    try {
      opened.close();
    } catch (Exception e) {
      log.error("a layer that was not served could not be closed", e);
    }
  }

  private LayerVersion unloadNow(String name) {
    LayerVersion version = served.remove(name);
    if (version == null) {
      throw new GuildhallException(
          ErrorCode.NOT_FOUND,
          "layer is \"%s\"; loaded are: %s".formatted(name, String.join(", ", served.keySet())));
    }
    host.unload(name);
    log.info("layer {} is unloaded", version);
    return version;
  }

  private void look() {
    try {
      Map<String, LayerFolder> now = new TreeMap<>();
      LayerRepository.folders(folder).forEach((name, layer) -> lookAt(name, layer, now));
      now.forEach(this::loadIfChanged);
      for (String name : List.copyOf(served.keySet())) {
        // Twice, since a folder that is being replaced is gone for a moment.
        if (!now.containsKey(name) && !seen.containsKey(name)) {
          unloadNow(name);
        }
      }
      seen = now;
    } catch (RuntimeException | Error e) {
      log.error("the model repository {} cannot be looked at now: {}", folder, e.toString());
    }
  }

  /** A layer whose folder cannot be read now counts as it was. */
  private void lookAt(String name, Path layer, Map<String, LayerFolder> now) {
    try {
      now.put(name, LayerFolder.of(layer));
    } catch (GuildhallException e) {
      log.warn("layer {} cannot be looked at now: {}", name, e.getMessage());
      LayerFolder before = seen.get(name);
      if (before != null) {
        now.put(name, before);
      }
    }
  }

  /** Files that have changed since the last look may still be on their way. */
  private void loadIfChanged(String name, LayerFolder files) {
    if (files.equals(tried.get(name)) || !files.equals(seen.get(name))) {
      return;
    }
    try {
      loadNow(name);
    } catch (RuntimeException | Error e) {
      log.error("layer {} is left as it is: {}", name, String.valueOf(e.getMessage()));
    }
  }

  /** Waits for what is being loaded. What is served stays the host's. */
  @Override
  public void close() {
    thread.shutdownNow();
    try {
      if (!thread.awaitTermination(10, TimeUnit.SECONDS)) {
        log.warn("a layer is still being loaded after the repository was closed");
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
