/** A router's API for Java programs. */
@NullMarked
package dev.guildhall.client;

import org.jspecify.annotations.NullMarked;
