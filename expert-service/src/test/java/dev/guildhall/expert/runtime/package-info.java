@NullMarked
package dev.guildhall.expert.runtime;

import org.jspecify.annotations.NullMarked;
