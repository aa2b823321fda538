@NullMarked
package dev.guildhall.router.admission;

import org.jspecify.annotations.NullMarked;
