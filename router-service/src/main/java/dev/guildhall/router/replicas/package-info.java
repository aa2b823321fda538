/** Which replicas there are, what they host, and which one takes the next rows. */
@NullMarked
package dev.guildhall.router.replicas;

import org.jspecify.annotations.NullMarked;
