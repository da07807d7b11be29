package org.simsync.card;

import java.lang.reflect.Field;

/** Reaches into the applet's records, for states that no command leads to in a test's time. */
final class Records {
    private Records() {
    }

    static Twin of(TestCard card, String field) throws ReflectiveOperationException {
        return (Twin) get(field(card, field), "record");
    }

    /** A field of the applet. */
    static Object field(TestCard card, String name) throws ReflectiveOperationException {
        return get(card.applet, SimsyncApplet.class, name);
    }

    /** Turns a bit in both copies. */
    static void damage(Twin record) throws ReflectiveOperationException {
        ((byte[]) get(record, "first"))[Twin.BODY] ^= 1;
        ((byte[]) get(record, "second"))[Twin.BODY] ^= 1;
    }

    static Object get(Object from, String field) throws ReflectiveOperationException {
        return get(from, from.getClass(), field);
    }

    private static Object get(Object from, Class<?> type, String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(from);
    }
}
