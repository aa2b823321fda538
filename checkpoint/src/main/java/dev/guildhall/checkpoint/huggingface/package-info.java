/** The MoE blocks of models as Hugging Face's transformers saves them. */
@NullMarked
package dev.guildhall.checkpoint.huggingface;

import org.jspecify.annotations.NullMarked;
