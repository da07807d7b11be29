/**
 * The simsync card applet. The contract, byte by byte, is docs/card.md.
 *
 * <p>This package is the whole of what goes onto a card and uses the Java Card 3.0.4 API only. Three rules hold in it:
 * nothing is allocated after installation; no field changes after construction but through {@link Nv} (on a card every
 * field is persistent memory); all arithmetic is on shorts.
 */
package org.simsync.card;
