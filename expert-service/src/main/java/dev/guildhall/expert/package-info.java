/** The expert-service, put together. */
@NullMarked
package dev.guildhall.expert;

import org.jspecify.annotations.NullMarked;
