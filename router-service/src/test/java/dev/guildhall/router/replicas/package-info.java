@NullMarked
package dev.guildhall.router.replicas;

import org.jspecify.annotations.NullMarked;
