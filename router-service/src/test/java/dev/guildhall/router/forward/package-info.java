@NullMarked
package dev.guildhall.router.forward;

import org.jspecify.annotations.NullMarked;
