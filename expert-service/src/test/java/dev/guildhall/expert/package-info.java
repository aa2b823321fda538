@NullMarked
package dev.guildhall.expert;

import org.jspecify.annotations.NullMarked;
