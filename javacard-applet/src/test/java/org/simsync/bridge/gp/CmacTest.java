package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Locale;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The examples of RFC 4493 (AES-128) and NIST SP 800-38B, appendix D (AES-192, AES-256), all over one message. */
class CmacTest {
    private static final byte[] MESSAGE = Host.hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
            + "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
    private static final String AES_128 = "2b7e151628aed2a6abf7158809cf4f3c";
    private static final String AES_192 = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b";
    private static final String AES_256 = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";

    @ParameterizedTest
    @CsvSource({
        AES_128 + ",0,bb1d6929e95937287fa37d129b756746",
        AES_128 + ",16,070a16b46b4d4144f79bdd9dd04a287c",
        AES_128 + ",40,dfa66747de9ae63030ca32611497c827",
        AES_128 + ",64,51f0bebf7e3b9d92fc49741779363cfe",
        AES_192 + ",0,d17ddf46adaacde531cac483de7a9367",
        AES_192 + ",16,9e99a7bf31e710900662f65e617c5184",
        AES_192 + ",40,8a1de5be2eb31aad089a82e6ee908b0e",
        AES_192 + ",64,a1d5df0eed790f794d77589659f39a11",
        AES_256 + ",0,028962f61b7bf89efc6b551f4667d983",
        AES_256 + ",16,28a7023f452e8f82bd4bf28d8c37c35c",
        AES_256 + ",40,aaf3d8f1de5640c232f5b169b9c911e6",
        AES_256 + ",64,e1992190549f6ed5696a2c056c315410"})
    void publishedExamples(String key, int length, String expected) {
        byte[] message = java.util.Arrays.copyOf(MESSAGE, length);
        assertEquals(expected.toUpperCase(Locale.ROOT), Host.text(Cmac.of(Host.hex(key), message)));
        byte[] head = java.util.Arrays.copyOf(message, length / 3);
        byte[] tail = java.util.Arrays.copyOfRange(message, length / 3, length);
        assertEquals(expected.toUpperCase(Locale.ROOT), Host.text(Cmac.of(Host.hex(key), head, tail)), "in two parts");
    }
}
