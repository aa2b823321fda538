@NullMarked
package dev.guildhall.expert.exchange;

import org.jspecify.annotations.NullMarked;
