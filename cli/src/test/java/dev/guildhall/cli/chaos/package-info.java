/**
 * Faults under load, against real processes and sockets: {@code mvn -Pchaos verify}. One class a
 * row of docs/reliability.md, and what they share.
 */
@NullMarked
package dev.guildhall.cli.chaos;

import org.jspecify.annotations.NullMarked;
