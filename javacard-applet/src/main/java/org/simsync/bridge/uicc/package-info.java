/** A simulated SIM or UICC: files and a PIN, as far as ETSI TS 102 221, 3GPP TS 31.102 and GSM 11.11 are read here. */
package org.simsync.bridge.uicc;
