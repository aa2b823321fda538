@NullMarked
package dev.guildhall.router.api.live;

import org.jspecify.annotations.NullMarked;
