/** The one vocabulary of errors, free of any transport. */
@NullMarked
package dev.guildhall.error;

import org.jspecify.annotations.NullMarked;
