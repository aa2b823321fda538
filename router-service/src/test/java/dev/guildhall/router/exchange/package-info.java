@NullMarked
package dev.guildhall.router.exchange;

import org.jspecify.annotations.NullMarked;
