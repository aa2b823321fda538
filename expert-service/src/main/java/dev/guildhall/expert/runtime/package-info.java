/** What computes one expert. The batching room knows this room by {@link ExpertRuntime} alone. */
@NullMarked
package dev.guildhall.expert.runtime;

import org.jspecify.annotations.NullMarked;
