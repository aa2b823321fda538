/** What the live page shows: readings of the counters, their differences, and who looks at them. */
@NullMarked
package dev.guildhall.router.api.live;

import org.jspecify.annotations.NullMarked;
