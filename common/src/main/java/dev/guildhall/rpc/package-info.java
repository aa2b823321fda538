/** gRPC servers, channels, the tensor marshaller, and the mapping of errors to statuses. */
@NullMarked
package dev.guildhall.rpc;

import org.jspecify.annotations.NullMarked;
