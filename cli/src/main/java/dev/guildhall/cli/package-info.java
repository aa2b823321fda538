/** The guildhall command: one class a command; wiring and printing only. */
@NullMarked
package dev.guildhall.cli;

import org.jspecify.annotations.NullMarked;
