/** The images and the compose file, in a real Docker engine. */
@NullMarked
package dev.guildhall.deploy;

import org.jspecify.annotations.NullMarked;
