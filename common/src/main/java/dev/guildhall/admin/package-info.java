/** Changing what a running service has loaded. */
@NullMarked
package dev.guildhall.admin;

import org.jspecify.annotations.NullMarked;
