@NullMarked
package dev.guildhall.expert.batching;

import org.jspecify.annotations.NullMarked;
