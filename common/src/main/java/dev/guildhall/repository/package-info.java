/** The model repository: layers on disk, what they say, and whether that is right. */
@NullMarked
package dev.guildhall.repository;

import org.jspecify.annotations.NullMarked;
