/** The Open Inference Protocol: a layer as a model, and the gRPC service that shows it so. */
@NullMarked
package dev.guildhall.router.api.oip;

import org.jspecify.annotations.NullMarked;
