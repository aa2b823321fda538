@NullMarked
package dev.guildhall.cli;

import org.jspecify.annotations.NullMarked;
