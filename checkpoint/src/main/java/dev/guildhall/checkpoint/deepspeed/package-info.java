/** The checkpoint folders that DeepSpeed writes of models with MoE layers. */
@NullMarked
package dev.guildhall.checkpoint.deepspeed;

import org.jspecify.annotations.NullMarked;
