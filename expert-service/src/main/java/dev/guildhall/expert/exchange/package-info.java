/** The server side of the exchange stream. */
@NullMarked
package dev.guildhall.expert.exchange;

import org.jspecify.annotations.NullMarked;
