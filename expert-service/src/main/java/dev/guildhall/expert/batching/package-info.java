/**
 * Rows that wait for their expert, and the workers that compute them. Memory segments and {@link
 * dev.guildhall.expert.runtime.ExpertRuntime} are all that is known here of transport and of ONNX
 * Runtime.
 */
@NullMarked
package dev.guildhall.expert.batching;

import org.jspecify.annotations.NullMarked;
