/** The router-service, put together. */
@NullMarked
package dev.guildhall.router;

import org.jspecify.annotations.NullMarked;
