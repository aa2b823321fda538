/** Tests of the client, against scripted routers. */
@NullMarked
package dev.guildhall.client;

import org.jspecify.annotations.NullMarked;
