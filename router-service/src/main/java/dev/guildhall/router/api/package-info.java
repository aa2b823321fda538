/** The public gRPC API: translates and validates, nothing else. */
@NullMarked
package dev.guildhall.router.api;

import org.jspecify.annotations.NullMarked;
