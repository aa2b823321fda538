/** Files of settings and certificates, read again when they change. */
@NullMarked
package dev.guildhall.files;

import org.jspecify.annotations.NullMarked;
