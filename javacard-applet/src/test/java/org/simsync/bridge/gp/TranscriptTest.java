package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Secure channels of real cards, as other implementations have published them: the card's side must give the answers that
 * those cards gave and take the commands that those hosts sent.
 */
class TranscriptTest {
    private static final Aid ISD = Registry.DOMAIN;

    private static String upper(String text) {
        return text.toUpperCase(Locale.ROOT);
    }

    private static byte[] slice(byte[] bytes, int from, int to) {
        return Arrays.copyOfRange(bytes, from, to);
    }

    /** The card's side with the challenge that a card once drew; what it opens with must be what that card opened with. */
    private static SecureChannel replay(KeySet keys, String hostChallenge, String updateAnswer) {
        byte[] answer = Host.hex(updateAnswer);
        byte[] host = Host.hex(hostChallenge);
        SecureChannel channel;
        byte[] opening;
        if (answer[11] == 2) {
            channel = new Scp02(keys, host, slice(answer, 14, 20), slice(answer, 12, 14));
            opening = slice(answer, 12, 28);
        } else {
            byte[] sequence = answer.length > 29 ? slice(answer, 29, 32) : null;
            channel = new Scp03(keys, answer[12], host, slice(answer, 13, 21), sequence);
            opening = slice(answer, 12, answer.length);
        }
        assertEquals(Host.text(opening), Host.text(channel.opening()));
        return channel;
    }

    private static void takes(SecureChannel channel, String wrapped, String plain) throws Refusal {
        Command expected = Command.parse(Host.hex(plain));
        Command unwrapped = channel.unwrap(Command.parse(Host.hex(wrapped)));
        assertEquals(expected.cla(), unwrapped.cla());
        assertEquals(expected.ins(), unwrapped.ins());
        assertEquals(expected.p1p2(), unwrapped.p1p2());
        assertEquals(Host.text(expected.data()), Host.text(unwrapped.data()));
    }

    private static KeySet aes(String enc, String mac) {
        return new KeySet(0x30, KeySet.TYPE_AES, Host.hex(enc), Host.hex(mac), Host.hex(enc));
    }

    private static KeySet des(String enc, String mac, String dek) {
        return new KeySet(0x20, KeySet.TYPE_DES, Host.hex(enc), Host.hex(mac), Host.hex(dek));
    }

    /** Counts up from 00, as the keys of the eUICC in pySim's tests do; keys longer than 16 bytes begin again. */
    private static String key(int first, int length) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            text.append(String.format("%02x", first + i % 16));
        }
        return text.toString();
    }

    /**
     * pySim, tests/unittests/test_globalplatform.py: sessions with an eUICC at levels 11, 03 and 33 with keys of 16, 24 and
     * 32 bytes. Columns: length, host challenge, answer to INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, STORE DATA and the
     * answer to it, then commands of cases 1 to 4, of which the first two have no data and yet count.
     */
    @ParameterizedTest
    @CsvSource({
        "16,b13e5f938fc108c4,000000000000000000003003703eb51047495b249f66c484c1d2ef1948000002,84821100107d5f5826a993ebc89eea24957fa0b3ce,84e291000ebf3e035c015a558d036518a2829700,bf3e125a1089882119900000000000000000000005971be68992dbbdfa,84f220020863a63f8959827fb2,84ca006608a0c6a4a74166f7ce00,84f22002124f0212345c054f9f70c52249b50272656536,84f280020a4f00e91443f6dce6b8ed00",
        "16,8e1552d0513c60f3,0000000000000000000030037030760cd2c47c1dd395065fe5ead8a9d7000001,8482030010fd4721a14d9b07003c451d2f8ae6bb21,84e2910018ca9c00f6713d79bc8baa642bdff51c3f6a4082d3bd9ad26c00,bf3e125a1089882119900000000000000000000005,84f2200208c9811b11f1264cf1,84ca006608e10ab60b3054798800,84f22002184e2908bdb48b2315a55482e9e936ca122d6ecfae7d17416e,84f28002180dd10a6b6193e5340b9e77d32d5a179cd710ac2773aefb2800",
        "16,fdf38259a1e0de44,000000000000000000003003703b1aca81e821f219081cdc01c26b372d000003,84823300108c36f96bcc00724a4e13ad591d7da3f0,84e2910018267a85dfe4a98fca6fb0527e0dfecce4914e40401433c87f00,f3ba2b1013aa6224f5e1c138d71805c569e5439b47576260b75fc021b25097cb2e68f8a0144975b9,84f2200208ac6a59024bed84cc,84ca006608409912ad8fb7aed000,84f22002185f3dafc3ac14c381536a488bf44e06d056df9d74dbd21e5a,84f280021865165105be3373347d0424d4400af2ac393f569ec779389e00",
        "24,7396430b768b085b,000000000000000000003103708cfc23522ffdbf1e5df5542cac8fd866000003,84821100102145ed30b146f5db252fb7e624cec244,84e291000ebf3e035c015aff42cf801d14394400,bf3e125a1089882119900000000000000000000005162fbd33e04940a9,84f22002084584e4f6784811ee,84ca006608937776ebe190fa3000,84f22002124f0212345c054f9f70c59a52bddf3040368c,84f280020a4f009804b11411f7393d00",
        "24,69c65da8202bf19f,00000000000000000000310370b570a67be38446717729d6dd3d2ec5b1000001,848203001065df4f1a356a887905466516d9e5b7c1,84e2910018d2c6fb477c5d4afe4fd4d21f17eff10d3578ec1774a12a2d00,bf3e125a1089882119900000000000000000000005,84f2200208964e188f0b1bb697,84ca006608f0820035a41d3e1800,84f220021806b076ed452cd1fa84f77f5c08a146aa77a9286757dea791,84f2800218d06527e39222dce091fabdb8e9b898417a67a6852d3577db00",
        "24,9b3f2eef0e8c9374,00000000000000000000310370f6bb305a15bae1a68f79fb08212fbed7000002,84823300109100bc22d58b45b86a26365ce39ff3cf,84e29100188f7f946c84f70d17994bc6e8791251bb1bb1bf02cf8de58900,c05176c1b6f72aae50c32cbee63b0e95998928fd4dfb2be9f27ffde8c8476f5909b4805cc4039599,84f2200208d5d97754b6b3d2ba,84ca006608516c82b8e30adbeb00,84f2200218cc247f4761e6944277a4e0d6e32e44025b1e31537e2fc668,84f2800218ba22b63d509bef5d093b43e5eaed03ed23144ab2d9cb51de00",
        "32,11666d57866c6f54,0000000000000000000032037053ea8847efa7674e41498a4d66cf0dee000003,84821100102f2ad190eff2fafc4908996d1cebd310,84e291000ebf3e035c015af4b680372542b59d00,bf3e125a10898821199000000000000000000000058012dd7f01f1c4c1,84f2200208d618b7da68d5fe52,84ca0066088f3e055db23ad5e500,84f22002124f0212345c054f9f70c5b6e15cc42404915e,84f280020a4f00aa124aa74afe7f7500",
        "32,c6066990fc426e1d,000000000000000000003203708682cd81bbd8919f2de3f2664581f118000001,848203001077c493b632edadaf865a1e64acc07ce9,84e29100183ddaa60594963befaada3525b492ede23c2ab2c1ce3afe4400,bf3e125a1089882119900000000000000000000005,84f2200208480ddc8e419da38d,84ca0066083e9d6a6c0b2d732000,84f22002183ebfef2da8b04af2a85f491f299b76973df76ff08a4031be,84f2800218783fff80990f5585b1055010ea95094a26e4a8f1ef4b18e100",
        "32,97b2055fe58599fd,00000000000000000000320370a8439a22cedf045fa9f1903b2834f26e000002,8482330010508a0fd959d2e547c6b33154a6be2057,84e29100187a5ef717eaf1e135ae92fe54429d0e465decda65f5fe5aea00,ea90dbfa648a67c5eb6abc57f8530b97d0cd5647c5e8732016b55203b078dd2ace7f8bc5d1c1cd99,84f2200208bcc5c17275545d93,84ca00660804806aba9d543bb600,84f2200218717222491556ec81a45f49ce48be33320024801a1c4cb0e0,84f2800218561f105bccd3a1642904b251ccc1228beb80a82370a8637000"})
    void scp03WithAnEuicc(int length, String challenge, String update, String authenticate, String command, String answer,
            String case1, String case2, String case3, String case4) throws Refusal {
        SecureChannel channel = replay(aes(key(0x00, length), key(0x10, length)), challenge, update);
        Command external = Command.parse(Host.hex(authenticate));
        assertTrue(channel.supports(external.p1()));
        channel.authenticate(external);
        takes(channel, command, "80e2910006bf3e035c015a00");
        byte[] plain = Host.hex("bf3e125a1089882119900000000000000000000005");
        assertEquals(upper(answer), Host.text(channel.wrap(plain, Sw.OK)));
        assertEquals("", Host.text(channel.wrap(new byte[0], Sw.NO_REFERENCED_DATA)), "errors come bare");
        takes(channel, case1, "80f22002");
        takes(channel, case2, "80ca006600");
        takes(channel, case3, "80f220020a4f0212345c054f9f70c5");
        takes(channel, case4, "80f28002024f0000");
    }

    /** GPShell's library, globalplatform/src/scp03Test.c: cards with i=70 (keys of 16 bytes) and i=10 (24 bytes). */
    @Test
    void scp03AsGpshellSpeaksIt() throws Refusal {
        KeySet keys = aes("F995D0A069335C7DF42E590317FFEA6D", "58563362EC5A4541ABCD32B34B1EAE7D");
        SecureChannel delete = replay(keys, "B2BDE1A2DC66BD56",
                "00000000000000000000300370C40932A6FEFEAEB2E127185170F45FCA000015");
        delete.authenticate(Command.parse(Host.hex("848203001059D54D932423D29F6313C970875F8C2F")));
        takes(delete, "84E400801829F06AEC3180B3EFE91FF662310B945DE0D5FE66AD67A5B6", "80E400800A4F08A00100015141434C");

        SecureChannel list = replay(keys, "DA2390D378D94B0A",
                "00000000000000000000300370A7EFE2BFDB3A27A6EAE3FF0EA0D17524000085");
        list.authenticate(Command.parse(Host.hex("8482030010953EEC5B4A81BF393ADC2ADFD638827A")));
        takes(list, "84F2200218705C4D16C7BAC5496AEE0ED9963222455472F3CFAC97BCCA00", "80F22002024F0000");
        takes(list, "84F240021834AF0FEDDAE7C07308600587E1B1E6EC87811520D9A6AAAD00", "80F24002024F0000");
        takes(list, "84F28002188D6CFE9EB359EACB9594D8EC161E45C10ED0138E34A10BF300", "80F28002024F0000");
        takes(list, "84F21002183D98B6DE9CBF3905EAE4FAF5E141C58DAB7013D1076745C700", "80F21002024F0000");

        String key = "DE2A3629CBC24E8D8869E82C8B4C0D874D88166B6F8A1C12";
        SecureChannel aes192 = replay(aes(key, key), "4157115CAD7D2FE7",
                "00008301A8186727A822020310726B1E22EED4F4BBAB21001BFD4B6F02000012");
        aes192.authenticate(Command.parse(Host.hex("84820300109B126D1B1557297F3C06766CA9ACBD27")));
        takes(aes192, "84F2200218110C222888859059700E5D42AD65F41299B0BFFC03BF79A800", "80F22002024F0000");
    }

    /** The same sessions: the challenge follows from counter and domain (Amendment D 6.2.2.1). */
    @Test
    void scp03ChallengesFromTheCounter() {
        KeySet gpshell = aes("F995D0A069335C7DF42E590317FFEA6D", "58563362EC5A4541ABCD32B34B1EAE7D");
        assertEquals("C40932A6FEFEAEB2",
                Host.text(Scp03.pseudoRandomChallenge(gpshell, Scp03.sequence(0x15), ISD)));
        assertEquals("A7EFE2BFDB3A27A6",
                Host.text(Scp03.pseudoRandomChallenge(gpshell, Scp03.sequence(0x85), ISD)));
        Aid euicc = Aid.of("A0000005591010FFFFFFFF8900000100");
        assertEquals("3B1ACA81E821F219", Host.text(Scp03.pseudoRandomChallenge(aes(key(0, 16), key(0x10, 16)),
                Scp03.sequence(3), euicc)));
        assertEquals("A8439A22CEDF045F", Host.text(Scp03.pseudoRandomChallenge(aes(key(0, 32), key(0x10, 32)),
                Scp03.sequence(2), euicc)));
    }

    /** GPShell's library, globalplatform/src/scp02Test.c: a card with i=15 and the test keys, a whole installation. */
    @Test
    void scp02AsGpshellSpeaksIt() throws Refusal {
        String key = Host.text(Host.TEST_KEY);
        SecureChannel list = replay(des(key, key, key), "D5AD539A60CA5E72",
                "000074746E6E6E6262620102069FAA2A0591E73367DD78794D04315E");
        list.authenticate(Command.parse(Host.hex("84820100107C799B3C771DBAE6BEF49310977617BA")));
        takes(list, "84F220020A4F00BB6E71C0EFCFCF0D00", "80F22002024F0000");

        SecureChannel install = replay(des(key, key, key), "EBAA9E53C696281B",
                "000074746E6E6E626262010206A15086BBEE58F467149061DA4B6EAE");
        install.authenticate(Command.parse(Host.hex("848203001005814C116071EB67D8BA9D9879454564")));
        takes(install, "84E4008018BC146FA0403BE4BAD3BC089E4ABD8674DA7EFEA21047B85800", "80E400800A4F08D0D1D2D3D4D50101");
        takes(install, "84E4008018C2748C1669FAFC0E20C5253680388A4A49C9A6038D77B45700", "80E40080094F07D0D1D2D3D4D501");
        Command announce = install.unwrap(Command.parse(Host.hex("84E60200280839B761AA201C218FD6607C56803CFD2D098CBAA994697"
                + "6EEFAE3F210038EB4965D6E04EDEF801700")));
        assertTrue(Host.text(announce.data()).startsWith("07D0D1D2D3D4D50108A000000003000000"));
        Command first = install.unwrap(Command.parse(Host.hex("84E80000F8562EFDC9F22082A5184831F1DA6A0F495C5DF0FD71E8014A2B94EA"
                + "81069FB630346197CDF1C3BD9CDBDD9513BFE6FE7992730FCF2089019D1374DA1021BD74E2085B806B8DA57431FF008406E1C695"
                + "F2E27E0C2A554E01047B9B36F4058CFC1C2FB8D0A45B01C626DF5CB2509436283BE22B9E7750B3B7F36E29E3C97C69533B35C2DB"
                + "EF13904D06E96BEBB6FA38D3E7EB7EB9170F3004824F5A32278AE7CBC3E591BA0C79B090FBD8038B60AC5F83E4E250B32AD5B927"
                + "68E775AA974A4FAFC81356FA333D5AB4FAF1A0056E08420AF95D18CA0DF726BA560C5C340CCA81A1BEA294AAFE3AED250EF6865A"
                + "A2D3F11D058FDFE5EE7622AE19")));
        assertTrue(Host.text(first.data()).contains("DECAFFED"), "a CAP file's header");
        install.unwrap(Command.parse(Host.hex("84E88001787FFE538F755D612CEE738FA68E177E8E146E66EF2A840387F7086C1CA8659C9F985585"
                + "E11001A12D4940CB3EF200DFEC9EC7FB59CADED4A7F82EDA5BE808552A3CD3B65D41F9F61A23E6FDA2C1BF2493F4929950FA6203"
                + "0FF023B34398247A2E01BBF949E819B5EEA117DC6E0D91D40D85ABDE0BC2A76D8600")));
        Command last = install.unwrap(Command.parse(Host.hex("84E60C00300839B761AA201C21EDAE7D003F76B62164B363AF56A2C7FE12AEF9FD"
                + "C790DFC8FFE6B0346E9BF02674684247652F109A00")));
        assertTrue(Host.text(last.data()).startsWith("07D0D1D2D3D4D50108D0D1D2D3D4D5010108D0D1D2D3D4D50101"));
    }

    /** pySim, tests/unittests/test_globalplatform.py: a SIM with i=15, and commands of cases 1 to 4. */
    @Test
    void scp02WithASim() throws Refusal {
        KeySet keys = des("100102030405060708090a0b0c0d0e0f", "101102030405060708090a0b0c0d0e0f",
                "102102030405060708090a0b0c0d0e0f");
        SecureChannel channel = replay(keys, "40A62C37FA6304F8",
                "00000000000000000000700200016B4524ABEE7CF32EA3838BC148F3");
        channel.authenticate(Command.parse(Host.hex("8482010010BA6961667737C5BCEBECE14C7D6A4376")));
        takes(channel, "84F220020814DB34FA4341DCA8", "80F22002");
        takes(channel, "84CA00660855ED7C5FF069512B00", "80CA006600");
        takes(channel, "84F22002124F0212345C054F9F70C58FC1B380C4228AF8", "80F220020A4F0212345C054F9F70C5");
        takes(channel, "84F280020A4F003B95F09317DE6A4E00", "80F28002024F0000");
    }

    /** GlobalPlatformPro, issue 192: the challenge of a card whose i has bit 40 follows from counter and domain. */
    @Test
    void scp02ChallengeFromTheCounter() {
        String mac = "473F36161A7F7F60CC3A766EA4BE5247";
        assertEquals("051296110E96",
                Host.text(Scp02.pseudoRandomChallenge(des(mac, mac, mac), Scp02.sequence(0x19), ISD)));
    }

    /** pySim for AES; GlobalPlatformPro's and pySim's logs for the test key. */
    @Test
    void keyCheckValues() {
        assertEquals("C35280", Host.text(KeySet.checkValue(KeySet.TYPE_AES, Host.hex(key(0x00, 16)))));
        assertEquals("013808", Host.text(KeySet.checkValue(KeySet.TYPE_AES, Host.hex(key(0x10, 16)))));
        assertEquals("840DE5", Host.text(KeySet.checkValue(KeySet.TYPE_AES, Host.hex(key(0x20, 16)))));
        assertEquals("8BAF47", Host.text(KeySet.checkValue(KeySet.TYPE_DES, Host.TEST_KEY)));
    }

    /** A published command with each of its bits turned over is refused, in both protocols. */
    @Test
    void aTranscriptThatWasTouchedIsRefused() throws Refusal {
        byte[] good = Host.hex("84F220020A4F00BB6E71C0EFCFCF0D");
        String key = Host.text(Host.TEST_KEY);
        for (int bit = 0; bit < 8 * good.length; bit++) {
            byte[] bad = good.clone();
            bad[bit / 8] ^= (byte) (1 << bit % 8);
            Command command;
            try {
                command = Command.parse(bad);
            } catch (Refusal lengths) {
                continue;
            }
            SecureChannel channel = replay(des(key, key, key), "D5AD539A60CA5E72",
                    "000074746E6E6E6262620102069FAA2A0591E73367DD78794D04315E");
            channel.authenticate(Command.parse(Host.hex("84820100107C799B3C771DBAE6BEF49310977617BA")));
            assertEquals(Sw.SECURITY_STATUS,
                    assertThrows(Refusal.class, () -> channel.unwrap(command), "bit " + bit).status());
        }
        byte[] encrypted = Host.hex("84e2910018ca9c00f6713d79bc8baa642bdff51c3f6a4082d3bd9ad26c");
        for (int bit = 0; bit < 8 * encrypted.length; bit++) {
            byte[] bad = encrypted.clone();
            bad[bit / 8] ^= (byte) (1 << bit % 8);
            Command command;
            try {
                command = Command.parse(bad);
            } catch (Refusal lengths) {
                continue;
            }
            SecureChannel channel = replay(aes(key(0x00, 16), key(0x10, 16)), "8e1552d0513c60f3",
                    "0000000000000000000030037030760cd2c47c1dd395065fe5ead8a9d7000001");
            channel.authenticate(Command.parse(Host.hex("8482030010fd4721a14d9b07003c451d2f8ae6bb21")));
            assertEquals(Sw.SECURITY_STATUS,
                    assertThrows(Refusal.class, () -> channel.unwrap(command), "bit " + bit).status());
        }
    }
}
