/** The HTTP port, and the Open Inference Protocol's REST face on it. */
@NullMarked
package dev.guildhall.router.api.http;

import org.jspecify.annotations.NullMarked;
