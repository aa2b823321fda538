/** What is tested of the whole module: its architecture, and fuzzing. */
@NullMarked
package dev.guildhall.checkpoint;

import org.jspecify.annotations.NullMarked;
