package dev.guildhall.expert.batching;

import static java.util.Objects.requireNonNull;

import dev.guildhall.expert.batching.PendingRows.Piece;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What a worker has taken from the queue; each worker has one and fills it again and again. */
final class Block {
  private final List<Piece> pieces = new ArrayList<>();
  private final List<Piece> dropped = new ArrayList<>();
  private @Nullable ExpertQueue expert;
  private int rows;
  private long takenNanos;

  void start(ExpertQueue from, long nowNanos) {
    pieces.clear();
    dropped.clear();
    expert = from;
    rows = 0;
    takenNanos = nowNanos;
  }

  /** Lets go of batches while the worker has nothing to do. */
  void clear() {
    pieces.clear();
    dropped.clear();
    expert = null;
  }

  void add(Piece piece) {
    pieces.add(piece);
    rows += piece.rows();
  }

  void drop(Piece piece) {
    dropped.add(piece);
  }

  ExpertQueue expert() {
    return requireNonNull(expert, "nothing was taken");
  }

  /** To compute; all of {@link #expert()}. */
  List<Piece> pieces() {
    return pieces;
  }

  /** To account for without computing. */
  List<Piece> dropped() {
    return dropped;
  }

  /** Of {@link #pieces()}. */
  int rows() {
    return rows;
  }

  long takenNanos() {
    return takenNanos;
  }

  /** How long the oldest rows waited: they come first. */
  long queueNanos() {
    return takenNanos - pieces.getFirst().queuedNanos();
  }
}
