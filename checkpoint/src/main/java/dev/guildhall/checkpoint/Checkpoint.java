package dev.guildhall.checkpoint;

import java.util.List;

/** An open checkpoint. Its blocks' tensors are valid until it is closed. */
public interface Checkpoint extends AutoCloseable {

  /** The MoE blocks, in the order of the model; at least one. */
  List<MoeBlock> blocks();

  /** What was assumed, for the user to look at. */
  List<String> notes();

  @Override
  void close();
}
