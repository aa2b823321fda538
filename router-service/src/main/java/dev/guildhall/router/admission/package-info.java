/** What may enter, and when to refuse. */
@NullMarked
package dev.guildhall.router.admission;

import org.jspecify.annotations.NullMarked;
