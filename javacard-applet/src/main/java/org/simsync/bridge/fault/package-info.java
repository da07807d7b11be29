/** A simulated card whose power a test cuts before, or in the middle of, any persistent write. */
package org.simsync.bridge.fault;
